"""The bucket of snapshots: an object is written, read and deleted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from infra.admin.doctor.causes import Cause, network_cause
from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding

_FOLDER: Final = "doctor/"
"""Outside ``snapshots/``, so that no other part takes the object for a picture."""
_CODES: Final = {
    "NoSuchBucket": ("does not exist", "create it, or correct SNAPSHOT_BUCKET and AWS_REGION"),
    "InvalidAccessKeyId": ("cannot be used: the access key is unknown", "correct AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("cannot be used: the secret key is wrong", "correct AWS_SECRET_ACCESS_KEY"),
    "ExpiredToken": ("cannot be used: the credentials have expired", "log in again (aws sso login)"),
    "RequestTimeTooSkewed": ("cannot be used: this machine's clock is wrong", "set the clock (chrony, timesyncd)"),
    "AccessDenied": ("refuses the request", "allow s3:PutObject, GetObject and DeleteObject for these credentials"),
    "PermanentRedirect": ("is in another region", "correct AWS_REGION"),
}


def bucket(context: DoctorContext) -> Iterator[Finding]:
    """Whether an object can be written, read and deleted."""
    name = context.variable("SNAPSHOT_BUCKET")
    if name is None:
        yield Finding("bucket", "skipped", "SNAPSHOT_BUCKET is not set: pictures are not served")
        return
    client = context.aws("s3")
    key, step = f"{_FOLDER}{uuid4().hex}", "writing"
    try:
        client.put_object(Bucket=name, Key=key, Body=key.encode())
        step = "reading"
        content = client.get_object(Bucket=name, Key=key)["Body"].read()
        step = "deleting"
        client.delete_object(Bucket=name, Key=key)
    except Exception as error:
        where = urlsplit(client.meta.endpoint_url).netloc
        text, remedy = aws_cause(error, what=f"the bucket {name}", where=where, codes=_CODES)
        yield Finding("bucket", "fault", f"{text} ({step} an object)", remedy)
        return
    if content != key.encode():
        remedy = "does a proxy or another store answer in its place?"
        yield Finding("bucket", "fault", f"the bucket {name} returns another content than was written", remedy)
    else:
        yield Finding("bucket", "ok", f"the bucket {name} accepts, returns and deletes objects")


def aws_cause(error: Exception, *, what: str, where: str, codes: Mapping[str, tuple[str, str]]) -> Cause:
    """Return why a call of boto3 failed; ``codes`` explains codes of the service."""
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Cause(
            f"{what} cannot be used: there are no AWS credentials", "log in (aws sso login), or set AWS_PROFILE"
        )
    if not isinstance(error, ClientError):
        from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

        if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
            return Cause(f"{where} does not answer (timeout)", "check routes, VPC endpoints and firewalls")
        return network_cause(error, where=where, setting="AWS_REGION and AWS_ENDPOINT_URL")
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in codes:
        words, remedy = codes[code]
        return Cause(f"{what} {words}", remedy)
    if status == 403:
        return Cause(f"{what} refuses these credentials ({code})", "check the permissions and the AWS account")
    return Cause(f"{what} answers with the error {code}", "see the log of the service")
