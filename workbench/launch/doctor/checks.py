"""All checks of the doctor's, by part."""

from collections.abc import Callable, Iterator

from workbench.launch.doctor import accelerators, disks, session, terminal
from workbench.launch.doctor.finding import Finding
from workbench.problems import Problem

PARTS: dict[str, Callable[[], list[Finding]]] = {
    "Python and GPU": accelerators.look,
    "Disk": disks.look,
    "Session": session.look,
    "Terminal": terminal.look,
}


def look() -> Iterator[tuple[str, list[Finding]]]:
    """Each part with its findings, as soon as it was looked at; a part that cannot be looked at is a finding too."""
    for part, check in PARTS.items():
        try:
            findings = check()
        except (OSError, Problem) as error:
            findings = [Finding(part.casefold(), "unknown", f"Could not be looked at: {error}.")]
        yield part, findings
