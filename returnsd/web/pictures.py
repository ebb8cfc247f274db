"""The pictures of a request: one as the raw body, or many as the files of a form."""

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser

from returnsd.web.problems import Unacceptable, Unsupported

MOST_IN_A_FORM = 256

# What is parsed was read whole already: writing it to a temporary file would only cost time.
MultiPartParser.spool_max_size = 1 << 30

_WANTED = "image/*, application/octet-stream or multipart/form-data"


@dataclass(frozen=True, slots=True)
class Sent:
    """One picture that a client sent, and the name it gave it (empty if none)."""

    name: str
    data: bytes


async def pictures_of(request: Request) -> list[Sent]:
    """Return a request's pictures; Unsupported if its body is of another kind, Unacceptable if there are none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _files(request)
    if kind.startswith("image/") or kind == "application/octet-stream":
        data = await request.body()
        if not data:
            raise Unacceptable("the body is empty: it must be a picture's bytes")
        return [Sent("", data)]
    raise Unsupported(_WANTED)


async def _files(request: Request) -> list[Sent]:
    async with request.form(max_files=MOST_IN_A_FORM, max_fields=16) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        sent = [Sent(file.filename or "", await file.read()) for file in files]
    if not sent:
        raise Unacceptable("the form holds no file: send each picture as a file")
    return sent
