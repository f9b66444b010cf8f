"""What operators see the platform by: the log standard, the way of one action (`trace`), alerts that are sent.

`logs` and `logfiles` know nothing of the platform; `messages` and `timeline` are pure; `sending` and `tracing` ask the
database and do the rest. What is wrong is decided in `warehouse.watch`, metrics are made in `api.metrics`.
"""

from .logs import FIELDS, Configured, Redactor, configure, configured
from .sending import Channel, Sent, channels_of, send_alerts
from .starting import begin_logging, logging_as
from .unkept import send_unkept

__all__ = [
    "FIELDS",
    "Channel",
    "Configured",
    "Redactor",
    "Sent",
    "begin_logging",
    "channels_of",
    "configure",
    "configured",
    "logging_as",
    "send_alerts",
    "send_unkept",
]
