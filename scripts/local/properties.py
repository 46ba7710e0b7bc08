"""What a template says and MiniStack's CloudFormation takes otherwise than AWS: two properties."""

import json
from typing import Any

from local.adaptation import part, replace

Properties = dict[str, Any]


def apply() -> None:
    from ministack.services import secretsmanager
    from ministack.services.cloudformation import engine, provisioners

    _constrain_names(engine)
    _generate_secrets_as_asked(provisioners, secretsmanager)


def _constrain_names(engine: Any) -> None:
    """The pattern of an SSM parameter's type holds for the name that is given, not for the value found under it."""
    check = part(engine, "_check_parameter_constraints")
    prefix = part(engine, "_SSM_PARAMETER_VALUE_PREFIX")

    def check_constraints(name: str, definition: Properties, kind: str, value: str) -> None:
        if not kind.startswith(prefix):
            check(name, definition, kind, value)

    replace(engine, "_check_parameter_constraints", check_constraints)


def _generate_secrets_as_asked(provisioners: Any, secretsmanager: Any) -> None:
    declared = part(provisioners, "_sm_secret_string")
    random_password = part(secretsmanager, "_get_random_password")

    def secret_string(properties: Properties) -> str:
        asked = properties.get("GenerateSecretString")
        if properties.get("SecretString") or not asked:
            return str(declared(properties))
        status, _, answer = random_password(asked)
        content = json.loads(answer)
        if status != 200:
            raise ValueError(content.get("message") or content)
        password = str(content["RandomPassword"])
        template = asked.get("SecretStringTemplate")
        return json.dumps({**json.loads(template), asked["GenerateStringKey"]: password}) if template else password

    replace(provisioners, "_sm_secret_string", secret_string)
