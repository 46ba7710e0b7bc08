"""Asynchronous paths: nothing is lost between two parts, and whatever is given up is kept and raises an alarm."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from drift.dropped import PREFIX
from inference import delivery
from pawl.dropqueue import MARGIN_MS
from pawl.opinions import COUNTS

Resources = dict[str, Any]
OfType = Callable[[str], Resources]
FOURTEEN_DAYS_S = 14 * 86_400
STREAM_KEEPS_S = 86_400
DEAD_LETTERS = "DeadLetterQueue"


@pytest.fixture
def queues(of_type: OfType) -> Resources:
    return of_type("AWS::SQS::Queue")


@pytest.fixture
def sources(of_type: OfType) -> list[dict[str, Any]]:
    """What functions consume: queues, and a stream."""
    return list(of_type("AWS::Lambda::EventSourceMapping").values())


@pytest.fixture
def mappings(sources: list[dict[str, Any]], queues: Resources) -> list[dict[str, Any]]:
    """The queues among them."""
    return [each for each in sources if each["EventSourceArn"]["Fn::GetAtt"][0] in queues]


def test_every_queue_is_encrypted(queues: Resources) -> None:
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())


def test_a_queue_gives_up_after_five_tries_into_dead_letters_of_its_own(queues: Resources) -> None:
    sources = {name: queue for name, queue in queues.items() if not name.endswith(DEAD_LETTERS)}
    assert sorted(sources) == ["CaptureQueue", "FeedbackInboxQueue", "InboxQueue", "ReleaseQueue", "RetrainQueue"]
    for name, queue in sources.items():
        dead_letters = {"Fn::GetAtt": [name.replace("Queue", DEAD_LETTERS), "Arn"]}
        assert queue["RedrivePolicy"] == {"deadLetterTargetArn": dead_letters, "maxReceiveCount": 5}


def test_dead_letters_are_kept_fourteen_days_longer_than_their_queue_keeps_them(queues: Resources) -> None:
    dead_letters = [queue for name, queue in queues.items() if name.endswith(DEAD_LETTERS)]
    assert {queue["MessageRetentionPeriod"] for queue in dead_letters} == {FOURTEEN_DAYS_S}
    assert not any("MessageRetentionPeriod" in queue for queue in queues.values() if queue not in dead_letters)


def test_every_dead_letter_raises_an_alarm(queues: Resources, of_type: OfType) -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/SQS" and alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    }
    assert watched == {name for name in queues if name.endswith(DEAD_LETTERS)}


def test_a_message_stays_hidden_six_times_as_long_as_its_consumer_may_take(
    queues: Resources, mappings: list[dict[str, Any]], resources: Resources
) -> None:
    assert len(mappings) == 5
    for mapping in mappings:
        consumer = resources[mapping["FunctionName"]["Ref"]]["Properties"]
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        assert queue["VisibilityTimeout"] == 6 * consumer["Timeout"]


def test_the_longest_window_and_one_run_fit_into_the_time_that_a_message_stays_hidden(
    template: dict[str, Any], queues: Resources, resources: Resources
) -> None:
    longest = template["Parameters"]["CollectWindowSeconds"]["MaxValue"]
    timeout = resources["DriftCollectFunction"]["Properties"]["Timeout"]
    assert longest + timeout <= queues["CaptureQueue"]["VisibilityTimeout"]


def test_consumers_report_which_messages_failed(sources: list[dict[str, Any]]) -> None:
    assert all(source["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for source in sources)


def test_the_counters_of_feedback_are_followed_from_the_first_and_given_up_only_into_dead_letters(
    sources: list[dict[str, Any]], mappings: list[dict[str, Any]], resources: Resources
) -> None:
    (stream,) = [each for each in sources if each not in mappings]
    table = resources["FeedbackTable"]["Properties"]
    assert stream["EventSourceArn"] == {"Fn::GetAtt": ["FeedbackTable", "StreamArn"]}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert (stream["FunctionName"], stream["StartingPosition"]) == ({"Ref": "FeedbackReadyFunction"}, "TRIM_HORIZON")
    (pattern,) = stream["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {"dynamodb": {"Keys": {"pk": {"S": [COUNTS]}}}}
    assert "MaximumRetryAttempts" not in stream
    assert stream["MaximumRecordAgeInSeconds"] < STREAM_KEEPS_S
    dead_letters = {"Fn::GetAtt": ["FeedbackReadyDeadLetterQueue", "Arn"]}
    assert stream["DestinationConfig"] == {"OnFailure": {"Destination": dead_letters}}


def test_every_rule_keeps_what_it_cannot_deliver(of_type: OfType, queues: Resources) -> None:
    for name, rule in of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            kept_in = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
            assert kept_in.endswith(DEAD_LETTERS), name
            assert kept_in in queues


def test_a_queue_takes_events_of_its_own_rules_only(of_type: OfType) -> None:
    senders: dict[str, set[str]] = {}
    for name, rule in of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            for arn in (target["Arn"], target["DeadLetterConfig"]["Arn"]):
                senders.setdefault(_target(arn), set()).add(name)
    allowed = {}
    for policy in of_type("AWS::SQS::QueuePolicy").values():
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert policy["Queues"] == [{"Ref": statement["Resource"]["Fn::GetAtt"][0]}]
        arns = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
        arns = arns if isinstance(arns, list) else [arns]
        allowed[statement["Resource"]["Fn::GetAtt"][0]] = {arn["Fn::GetAtt"][0] for arn in arns}
    queues = of_type("AWS::SQS::Queue")
    assert allowed == {name: rules for name, rules in senders.items() if name in queues}


def test_a_function_that_an_event_invokes_has_a_failure_destination(of_type: OfType, queues: Resources) -> None:
    functions = set(of_type("AWS::Lambda::Function"))
    invoked = {
        _target(target["Arn"]) for rule in of_type("AWS::Events::Rule").values() for target in rule["Targets"]
    } & functions
    configs = of_type("AWS::Lambda::EventInvokeConfig").values()
    configured = {config["FunctionName"]["Ref"]: config for config in configs}
    assert invoked == set(configured) == {"DriftCheckFunction"}
    destination = configured["DriftCheckFunction"]["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination["Fn::GetAtt"][0] in queues
    assert configured["DriftCheckFunction"]["MaximumRetryAttempts"] == 2


def test_what_starts_a_training_reaches_the_retrain_queue(of_type: OfType) -> None:
    rules = of_type("AWS::Events::Rule")
    retrain = {
        name for name, rule in rules.items() if rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["RetrainQueue", "Arn"]}
    }
    assert retrain == {
        "DriftDetectedRule",
        "FeedbackReadyRule",
        "JudgeReleasedRule",
        "RetrainScheduleRule",
        "JobSucceededRule",
        "JobFailedRule",
    }
    assert rules["DriftDetectedRule"]["EventPattern"] == {"source": ["pawl.drift"], "detail-type": ["DriftDetected"]}
    released = rules["JudgeReleasedRule"]["EventPattern"]
    assert (released["source"], released["detail-type"]) == (["pawl.release"], ["ModelReleased"])
    assert released["detail"] == {"data": {"kind": ["reward-model"]}}
    assert rules["FeedbackReadyRule"]["EventPattern"] == {"source": ["pawl.feedback"], "detail-type": ["FeedbackReady"]}


def test_a_whole_candidate_reaches_the_release_queue(of_type: OfType) -> None:
    rule = of_type("AWS::Events::Rule")["CandidateRule"]
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": [{"Ref": "Bucket"}]},
        "object": {"key": [{"wildcard": "candidates/*/manifest.json"}]},
    }
    assert rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["ReleaseQueue", "Arn"]}


def test_a_file_dropped_as_traffic_reaches_the_inbox_queue(of_type: OfType) -> None:
    rule = of_type("AWS::Events::Rule")["TrafficDroppedRule"]
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": [{"Ref": "Bucket"}]},
        "object": {"key": [{"prefix": PREFIX}]},
    }
    assert rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["InboxQueue", "Arn"]}


def test_a_file_dropped_as_feedback_reaches_the_queue_of_those(of_type: OfType) -> None:
    rule = of_type("AWS::Events::Rule")["FeedbackDroppedRule"]
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": [{"Ref": "Bucket"}]},
        "object": {"key": [{"prefix": "inbox/feedback/"}]},
    }
    assert rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["FeedbackInboxQueue", "Arn"]}


@pytest.mark.parametrize(("name", "queue"), [("DriftInbox", "InboxQueue"), ("FeedbackInbox", "FeedbackInboxQueue")])
def test_a_long_file_may_go_on_by_its_own_queue_and_no_recursion_guard_stops_it(
    name: str, queue: str, resources: Resources, statements: dict[str, list[dict[str, Any]]]
) -> None:
    function = resources[f"{name}Function"]["Properties"]
    sending = [each["Resource"] for each in statements[f"{name}Role"] if "sqs:SendMessage" in each["Action"]]
    assert function["Environment"]["Variables"]["INBOX_QUEUE_URL"] == {"Ref": queue}
    assert [{"Fn::GetAtt": [queue, "Arn"]}] in sending
    assert function["RecursiveLoop"] == "Allow"
    assert function["Timeout"] * 1000 > 2 * MARGIN_MS


def test_answers_of_devices_go_the_way_of_all_captured_traffic(
    resources: Resources, statements: dict[str, list[dict[str, Any]]]
) -> None:
    told = resources["FeedbackInboxFunction"]["Properties"]["Environment"]["Variables"]
    (sending,) = [each for each in statements["FeedbackInboxRole"] if each["Sid"] == "CaptureAnswersOfDevices"]
    assert told["CAPTURE_QUEUE_URL"] == {"Ref": "CaptureQueue"}
    assert (sending["Action"], sending["Resource"]) == (["sqs:SendMessage"], [{"Fn::GetAtt": ["CaptureQueue", "Arn"]}])


def test_many_files_at_once_take_no_concurrency_from_answers(mappings: list[dict[str, Any]]) -> None:
    inboxes = [each for each in mappings if "Inbox" in each["FunctionName"]["Ref"]]
    limits = {each["FunctionName"]["Ref"]: each["ScalingConfig"]["MaximumConcurrency"] for each in inboxes}
    assert limits == {"DriftInboxFunction": 5, "FeedbackInboxFunction": 2}


def test_what_inference_cannot_queue_it_may_put_among_that_queue_s_dead_letters(
    resources: Resources, statements: dict[str, list[dict[str, Any]]]
) -> None:
    (sending,) = [each for each in statements["InferenceRole"] if each["Action"] == ["sqs:SendMessage"]]
    told = resources["InferenceFunction"]["Properties"]["Environment"]["Variables"]
    queue, dead_letters = told["CAPTURE_QUEUE_URL"]["Ref"], told["CAPTURE_DEAD_LETTER_QUEUE_URL"]["Ref"]
    assert sending["Resource"] == [{"Fn::GetAtt": [name, "Arn"]} for name in (queue, dead_letters)]
    redrive = resources[queue]["Properties"]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [dead_letters, "Arn"]}


def test_the_largest_message_that_inference_sends_fits_into_both_capture_queues(queues: Resources) -> None:
    sizes = [queues[name]["MaximumMessageSize"] for name in ("CaptureQueue", "CaptureDeadLetterQueue")]
    assert sizes == [delivery.BODY_BYTES] * 2


@pytest.mark.parametrize("metric", [delivery.LOST, delivery.SPILLED])
def test_a_record_that_does_not_reach_its_queue_raises_an_alarm(metric: str, of_type: OfType) -> None:
    alarm = of_type("AWS::CloudWatch::Alarm")[f"{metric}Alarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Pawl", metric)
    assert alarm["Dimensions"] == [{"Name": "function", "Value": {"Ref": "InferenceFunction"}}]
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)


def test_people_are_told_in_one_sentence_when_a_drift_begins_and_ends(of_type: OfType) -> None:
    rule = of_type("AWS::Events::Rule")["DriftNoticeRule"]
    (target,) = rule["Targets"]
    assert rule["EventPattern"] == {"source": ["pawl.drift"], "detail-type": ["DriftDetected", "DriftEnded"]}
    assert target["Arn"] == {"Fn::If": ["HasOwnTopic", {"Ref": "AlarmNotices"}, {"Ref": "AlarmTopic"}]}
    paths, text = target["InputTransformer"]["InputPathsMap"], target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    assert paths == {"sentence": "$.detail.data.sentence", "report": "$.detail.data.report"}
    assert text.startswith('"<sentence> ') and text.endswith('"') and text.count('"') == 2


def test_the_topic_takes_alarms_and_drift_notices_of_this_account_only(of_type: OfType) -> None:
    policy = of_type("AWS::SNS::TopicPolicy")["AlarmNoticesPolicy"]
    statements = policy["PolicyDocument"]["Statement"]
    senders = {each["Principal"]["Service"]: each["Condition"] for each in statements}
    assert senders == {
        "cloudwatch.amazonaws.com": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        "events.amazonaws.com": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["DriftNoticeRule", "Arn"]}}},
    }
    assert {each["Action"] for each in statements} == {"sns:Publish"}


def _target(arn: dict[str, Any]) -> str:
    """What a rule's target is, by logical id; a topic may also be a parameter."""
    return arn["Fn::GetAtt"][0] if "Fn::GetAtt" in arn else arn["Fn::If"][1]["Ref"]
