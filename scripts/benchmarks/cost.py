"""What a deployment costs, idle, answering and retraining: computed from the template and a price list.

The prices are AWS's list prices for us-east-1 of June 2025, written down here because no price list can be fetched
without an account; the result is as old as they are.
"""

import re

from artifacts.target import ROOT
from benchmarks.figures import Figure

PRICES_OF = "us-east-1, June 2025"
ALARM_MONTH = 0.10
SECRET_MONTH = 0.40
KEY_MONTH = 1.00
METRIC_MONTH = 0.30
ECR_GB_MONTH = 0.10
LAMBDA_GB_SECOND = 0.0000166667
LAMBDA_REQUEST = 0.20e-6
API_REQUEST = 3.50e-6
SQS_REQUEST = 0.40e-6
DYNAMODB_WRITE = 0.625e-6
GPU_HOUR = 0.526
# What is assumed of one deployment: image, custom metrics, how long a prediction runs, and how long a retraining takes
# on a GPU machine including its start. Metrics: rows captured and delivered twice, rows of traffic and of feedback
# dropped and refused, and three of each of three models; the dashboard is free, as an account's first three are.
IMAGE_GB = 4
CUSTOM_METRICS = 15
PREDICTION_S = 0.010
RETRAIN_MINUTES = 15


def measure() -> list[Figure]:
    """Dollars, by the template as it stands."""
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    count = {
        kind: len(re.findall(rf"Type: {kind}$", template, re.MULTILINE))
        for kind in ("AWS::CloudWatch::Alarm", "AWS::SecretsManager::Secret", "AWS::KMS::Key")
    }
    alarms = count["AWS::CloudWatch::Alarm"]
    idle = (
        alarms * ALARM_MONTH
        + count["AWS::SecretsManager::Secret"] * SECRET_MONTH
        + count["AWS::KMS::Key"] * KEY_MONTH
        + CUSTOM_METRICS * METRIC_MONTH
        + IMAGE_GB * ECR_GB_MONTH
    )
    memory_gb = int(re.findall(r"MemorySize: (\d+)  # one whole vCPU", template)[0]) / 1024
    answer = API_REQUEST + LAMBDA_REQUEST + PREDICTION_S * memory_gb * LAMBDA_GB_SECOND
    # Sent, received and deleted in batches of ten or more; one ledger entry a record.
    capture = 3 * SQS_REQUEST / 10 + DYNAMODB_WRITE
    return [
        Figure(
            "idle_usd_month",
            round(idle, 2),
            "USD",
            f"{alarms} alarms, metrics, secret, signing key, image; {PRICES_OF}",
        ),
        Figure("million_predictions_usd", round(1e6 * (answer + capture), 2), "USD", "API, function, capture, ledger"),
        Figure(
            "retrain_usd",
            round(RETRAIN_MINUTES / 60 * GPU_HOUR, 3),
            "USD",
            f"{RETRAIN_MINUTES} minutes of g4dn.xlarge on demand; spot costs about a third",
        ),
    ]
