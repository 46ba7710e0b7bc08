"""What a window is compared with: the reference that came with the model, or one learned from its own first traffic.

A model without a reference, such as a packaged text generator, is only watched until a window has REFERENCE_ROWS rows;
that window becomes the reference of its version, once and for all. So it is with a model that is served elsewhere,
unless a person dropped a file `reference` into its inbox.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pawl.bucket import Bucket
from pawl.errors import IncompatibleProfiles
from pawl.profile import Profile
from pawl.registry import Registry

REFERENCE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """The profiles of a window merged; `left_out` is how many could not be."""

    recent: Profile
    left_out: int


def reference_of(registry: Registry, bucket: Bucket, model: str, version: str) -> Profile | None:
    """The reference that was trained or learned; None when there is neither yet."""
    reference = registry.reference(model, version)
    return learned(bucket, model, version) if reference is None else reference


def learned(bucket: Bucket, model: str, version: str) -> Profile | None:
    """The reference that was learned, or that a person gave; None while there is neither."""
    is_learned = any(key == _key(model, version) for key in bucket.keys(_key(model, version)))
    return Profile.from_json(bucket.read(_key(model, version))) if is_learned else None


def learn(bucket: Bucket, model: str, version: str, recent: Profile) -> bool:
    """Keep a window as the reference of its version, if it has enough rows; whether it had."""
    if recent.rows < REFERENCE_ROWS:
        return False
    recent.relate()
    bucket.write(_key(model, version), recent.to_json().encode())
    return True


def complete(bucket: Bucket, model: str, version: str, reference: Profile, recent: Profile) -> bool:
    """Let a learned reference take over what columns have to do with each other; whether it did.

    Its own window fixed the axes; the first stable window with REFERENCE_ROWS rows on them is what is normal there.
    """
    found = {
        name: recent.joints[name]
        for name, joint in reference.joints.items()
        if not joint.rows and name in recent.joints and recent.joints[name].rows >= REFERENCE_ROWS
    }
    if not found:
        return False
    reference.joints |= found
    bucket.write(_key(model, version), reference.to_json().encode())
    return True


def gather(profiles: Iterable[Profile], reference: Profile | None) -> Window:
    """The profiles of a window as one. A batch that does not fit the reference or its neighbours spoils nothing."""
    recent = Profile.like(reference, is_open=True) if reference else Profile.open()
    left_out = 0
    for profile in profiles:
        try:
            recent.merge(profile)
        except IncompatibleProfiles:
            left_out += 1
    return Window(recent, left_out)


def _key(model: str, version: str) -> str:
    return f"profiles/{model}/{version}/reference.json"
