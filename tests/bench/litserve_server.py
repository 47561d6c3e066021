"""LitServe over a model folder, for serving.py: `litserve_server.py FOLDER PORT`. Its worker imports this file by itself."""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from serving import said, session


class Api(litserve.LitAPI):
    """A batch of pictures, as its documentation has it."""

    def setup(self, device: str) -> None:
        """In the worker."""
        self.model = session(Path(sys.argv[1]))

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # it reads the annotations
        """A body."""
        return np.array(request["pixels"], np.float32).reshape(1, 28, 28)

    def batch(self, inputs: Any) -> Any:
        """Several together."""
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        """Logits."""
        return self.model.run(None, {"pixels": x})[0]

    def unbatch(self, output: Any) -> Any:
        """One by one."""
        return list(output)

    def encode_response(self, output: Any) -> Any:
        """An answer."""
        return said(output)


if __name__ == "__main__":
    server = litserve.LitServer(Api(max_batch_size=16, batch_timeout=0.001, api_path="/invocations"), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="error", generate_client_file=False, access_log=False)
