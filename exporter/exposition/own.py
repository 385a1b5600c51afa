"""The exporter's metrics about itself as a whole: ordinary instruments of prometheus-client."""

import platform
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge


class Instruments:
    def __init__(self, registry: CollectorRegistry, version: str, revision: str) -> None:
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        build = gauge(
            "campaign_exporter_build_info",
            "Always 1; the version of the exporter, the commit it was built from and the Python it runs on.",
            ("version", "revision", "python_version"),
        )
        build.labels(version, revision, platform.python_version()).set(1)
        self.reload_successful = gauge(
            "campaign_exporter_config_last_reload_successful",
            "1 when the last attempt to load the configuration succeeded, else 0.",
        )
        self.reload_timestamp = gauge(
            "campaign_exporter_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration.",
        )
        self.web_config_successful = gauge(
            "campaign_exporter_web_config_last_reload_successful",
            "1 when the web configuration and its files could be used when last checked, or there is none, else 0.",
        )
        self.web_config_successful.set(1)
        self.web_config_timestamp = gauge(
            "campaign_exporter_web_config_last_reload_success_timestamp_seconds",
            "Unix time at which the web configuration in force was read; 0 when there is none.",
        )
        self.config_hash = gauge(
            "campaign_exporter_config_hash",
            "48 bits over the configuration without secrets, shard index and listen addresses: equal on replicas.",
        )
        self.shard_index = gauge("campaign_exporter_shard_index", "Number of this shard, from 0.")
        self.shards = gauge("campaign_exporter_shards", "Number of shards in all.")
        self.label_overflow = counter(
            "campaign_exporter_label_overflow_total",
            "Times that a label value of a provider was counted as other, because the family was full.",
        )
        self.log_messages = counter("campaign_exporter_log_messages_total", "Messages logged, by level.", ("level",))
        for level in ("debug", "info", "warning", "error"):
            self.log_messages.labels(level)
