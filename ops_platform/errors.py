"""What can go wrong, in the user's words: every message says what, where and what to do."""


class OpsError(Exception):
    """The platform refuses or fails; the last good state stays in service."""


class ContractError(OpsError):
    """A contract does not follow the standard, or names what does not exist."""


class HashKeyError(OpsError):
    """Personal data needs the platform's secret key, which is missing or another one."""


class SourceError(OpsError):
    """A source's location can't be used at all."""


class LakeBusyError(OpsError):
    """Another process held the lake's write lock for too long."""


class LakeError(OpsError):
    """The lake's state does not allow what was asked."""


class NotPublishedError(OpsError):
    """Nothing has been published yet, or what is asked for is not in it."""


class BlockedError(OpsError):
    """A blocking check failed, so the published snapshot stays where it is."""


class RegistryError(OpsError):
    """The model registry can't be reached, or does not hold what was asked for."""


class StateError(OpsError):
    """A model's stored state does not have the digest that was recorded for it."""


class ReproductionError(OpsError):
    """A version can't be rebuilt here as it was made."""


class ReleaseError(OpsError):
    """A release is missing or damaged, or a version can't be served."""


class KeyFileError(OpsError):
    """The API keys can't be read or written, or lack the one that is meant."""


class TrainingError(OpsError):
    """The training set is not what the model may be fitted on."""


class UnfitError(OpsError):
    """A day of a source is unlike its history, as a fault of the data is, and not accepted."""


class MonitorError(OpsError):
    """A champion can't be watched."""


class ReplayError(OpsError):
    """The history does not hold what a replay needs."""
