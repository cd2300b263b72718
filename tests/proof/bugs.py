"""The seeded bugs, by name: each a plausible mistake that one of the two checks has to catch."""

from typing import Final

from tests.proof.bugs_of_the_device import OF_ITS_MESSAGES, OF_THE_DISK, OF_THE_UNITS
from tests.proof.bugs_of_the_machine import BEFORE_THE_COMMIT, FROM_THE_COMMIT_ON, THE_WAY_BACK
from tests.proof.bugs_of_the_operator import OF_ITS_RECORD, OF_ITS_SIGHT

ALL: Final = (
    *BEFORE_THE_COMMIT,
    *FROM_THE_COMMIT_ON,
    *THE_WAY_BACK,
    *OF_THE_DISK,
    *OF_THE_UNITS,
    *OF_ITS_MESSAGES,
    *OF_ITS_SIGHT,
    *OF_ITS_RECORD,
)
BUGS: Final = {bug.name: bug for bug in ALL}
