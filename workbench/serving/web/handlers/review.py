"""Asks the endpoint about a review. The same file runs here and as an AWS Lambda function.

Environment: ENDPOINT_NAME; here also AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME, which points boto3 to the endpoint on this machine. With
MODEL_FOLDER the function itself makes the review's numbers with the model's encoder, as an endpoint wants it that reads no text; the
folder and the package then travel with it.
"""

import json
import os
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

MOST = 20_000
"""Characters of a review."""
CODING = None
if folder := os.environ.get("MODEL_FOLDER"):
    from workbench.encoding import model_folder

    CODING = model_folder.read(Path(folder)).coding()
runtime = boto3.client("sagemaker-runtime", config=Config(retries={"max_attempts": 1}, connect_timeout=1, read_timeout=10))


def handler(event, context):
    """A proxy event with a review as its body → the answer, its probability, the version, and the endpoint's milliseconds."""
    text = event.get("body")
    if not isinstance(text, str) or not text.strip():
        return said(400, {"message": "There is no review in the request."})
    if len(text) > MOST:
        return said(413, {"message": f"The review has more than {MOST:,} characters."})
    kind, body = "text/plain", text
    if CODING is not None:
        kind, body = "application/json", json.dumps({"instances": [CODING.encode(text).array.tolist()]})
    begin = time.monotonic()
    try:
        response = runtime.invoke_endpoint(
            EndpointName=os.environ["ENDPOINT_NAME"], ContentType=kind, Accept="application/json", Body=body.encode()
        )
        answer = json.loads(response["Body"].read())
    except ClientError as error:
        code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return said(code if code in (400, 413, 429, 503) else 502, {"message": error.response["Error"]["Message"][:500]})
    except (BotoCoreError, ValueError):
        return said(502, {"message": "The endpoint does not answer."})
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    predictions = answer.get("predictions", answer)
    first = predictions[0] if isinstance(predictions, list) else predictions
    return said(
        200,
        {
            "answer": first["answer"],
            "probabilities": first["probabilities"],
            "version": headers.get("x-model-version", ""),
            "variant": headers.get("x-amzn-invoked-production-variant", ""),
            "endpoint_milliseconds": round((time.monotonic() - begin) * 1000, 1),
        },
    )


def said(code, body):
    """A response as the gateway takes it."""
    return {"statusCode": code, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
