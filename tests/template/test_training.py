"""Training: a GPU that exists only while it trains, and a job that is tried again only when its host was lost."""

from collections.abc import Callable
from typing import Any

from training.nodes import PORT

Resources = dict[str, Any]


def test_nothing_runs_while_nothing_trains(resources: Resources) -> None:
    compute = resources["ComputeEnvironment"]["Properties"]["ComputeResources"]
    assert compute["MinvCpus"] == 0
    assert "DesiredvCpus" not in compute
    assert (compute["Type"], compute["AllocationStrategy"]) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")


def test_a_job_gets_a_gpu_and_a_time_limit(resources: Resources) -> None:
    job = resources["JobDefinition"]["Properties"]
    needs = {each["Type"]: each["Value"] for each in job["ContainerProperties"]["ResourceRequirements"]}
    assert needs["GPU"] == "1"
    assert job["Timeout"] == {"AttemptDurationSeconds": 4 * 3600}


def test_only_a_lost_host_is_a_reason_to_try_again(resources: Resources) -> None:
    retry = resources["JobDefinition"]["Properties"]["RetryStrategy"]
    assert retry == {
        "Attempts": 3,
        "EvaluateOnExit": [{"Action": "RETRY", "OnStatusReason": "Host EC2*"}, {"Action": "EXIT", "OnReason": "*"}],
    }


def test_a_job_that_no_instance_can_take_ends(resources: Resources) -> None:
    actions = resources["JobQueue"]["Properties"]["JobStateTimeLimitActions"]
    assert {(each["State"], each["Action"]) for each in actions} == {("RUNNABLE", "CANCEL")}
    assert all(600 <= each["MaxTimeSeconds"] <= 86_400 for each in actions)


def test_the_command_is_whole_so_that_it_runs_without_the_image_too(resources: Resources) -> None:
    command = resources["JobDefinition"]["Properties"]["ContainerProperties"]["Command"]
    names = ["model", "version", "dataset", "output", "run", "parent", "live", "knobs", "reward", "method"]
    assert command[:4] == ["python", "-m", "training", "Ref::recipe"]
    assert command[4:] == [word for name in names for word in (f"--{name}", f"Ref::{name}")]
    assert resources["JobDefinition"]["Properties"]["Parameters"] == {
        "knobs": "none",
        "reward": "none",
        "method": "none",
    }


def test_a_job_logs_to_a_group_that_ends(resources: Resources) -> None:
    options = resources["JobDefinition"]["Properties"]["ContainerProperties"]["LogConfiguration"]["Options"]
    assert options["awslogs-group"] == {"Ref": "TrainingLogs"}
    assert "RetentionInDays" in resources["TrainingLogs"]["Properties"]


def test_nothing_reaches_a_training_host(resources: Resources) -> None:
    group = resources["TrainingSecurityGroup"]["Properties"]
    assert "SecurityGroupIngress" not in group
    assert {(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]} == {(443, 443)}
    host = resources["TrainingLaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert host["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_its_own_network_is_made_only_when_none_is_given(resources: Resources) -> None:
    network = {
        "VPC",
        "Subnet",
        "InternetGateway",
        "VPCGatewayAttachment",
        "RouteTable",
        "Route",
        "SubnetRouteTableAssociation",
        "VPCEndpoint",
    }
    made = {
        (kind, resource.get("Condition"))
        for resource in resources.values()
        if (kind := resource["Type"].removeprefix("AWS::EC2::")) in network
    }
    assert made == {(kind, "HasOwnNetwork") for kind in network}


def test_a_failed_job_raises_an_alarm(of_type: Callable[[str], Resources]) -> None:
    alarm = of_type("AWS::CloudWatch::Alarm")["TrainingFailuresAlarm"]
    assert alarm["Dimensions"] == [{"Name": "RuleName", "Value": {"Ref": "JobFailedRule"}}]
    for name, status in (("JobFailedRule", "FAILED"), ("JobSucceededRule", "SUCCEEDED")):
        one, several = [{"Ref": "JobQueue"}], [{"Ref": "JobQueue"}, {"Ref": "NodesJobQueue"}]
        queues = {"Fn::If": ["HasSeveralNodes", several, one]}
        detail = of_type("AWS::Events::Rule")[name]["EventPattern"]["detail"]
        assert detail == {"jobQueue": queues, "status": [status]}


def test_a_training_on_several_nodes_is_made_only_when_asked_for_and_then_the_same_job_by_torchrun(
    resources: Resources, template: Resources
) -> None:
    made = {name for name, resource in resources.items() if resource.get("Condition") == "HasSeveralNodes"}
    assert {name for name in resources if name.startswith("Nodes")} == made
    assert template["Conditions"]["HasSeveralNodes"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "TrainingNodes"}, 1]}]}
    one, several = (resources[name]["Properties"] for name in ("JobDefinition", "NodesJobDefinition"))
    (nodes,) = several["NodeProperties"]["NodeRangeProperties"]
    assert (several["Type"], several["NodeProperties"]["NumNodes"]) == ("multinode", {"Ref": "TrainingNodes"})
    assert nodes["TargetNodes"] == "0:"
    assert nodes["Container"]["Command"][:3] == ["python", "-m", "training.nodes"]
    assert nodes["Container"] | {"Command": []} == one["ContainerProperties"] | {"Command": []}
    assert nodes["Container"]["Command"][3:] == one["ContainerProperties"]["Command"][3:]
    same = ("Parameters", "Timeout", "RetryStrategy", "PropagateTags")
    assert {name: several[name] for name in same} == {name: one[name] for name in same}


def test_several_nodes_stand_side_by_side_on_demand_and_reach_each_other_alone(resources: Resources) -> None:
    compute = resources["NodesComputeEnvironment"]["Properties"]["ComputeResources"]
    assert (compute["Type"], compute["MinvCpus"]) == ("EC2", 0)  # none on spot: Batch refuses it
    assert len(compute["Subnets"]) == 1
    assert compute["PlacementGroup"] == {"Ref": "NodesPlacementGroup"}
    for name, other in (
        ("NodesReachEachOther", "SourceSecurityGroupId"),
        ("NodesCallEachOther", "DestinationSecurityGroupId"),
    ):
        rule = resources[name]["Properties"]
        assert rule["GroupId"] == rule[other] == {"Ref": "NodesSecurityGroup"}
        assert rule["FromPort"] <= PORT <= rule["ToPort"]
