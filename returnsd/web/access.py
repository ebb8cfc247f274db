"""What every part of the API needs of a request: the desk it is answered from, and who asks."""

from typing import Annotated

from fastapi import Path, Request

from returnsd import item_id
from returnsd.web.desk import Desk


def the_desk(request: Request) -> Desk:
    """Return the desk that requests are answered from."""
    desk: Desk = request.app.state.desk
    return desk


def client_of(request: Request) -> str:
    """Return the address of whoever asks."""
    return request.client.host if request.client else ""


ItemId = Annotated[
    str,
    Path(
        pattern=f"^{item_id.PATTERN.pattern}$", description="an item's id", examples=["01M84XJ0W3T1Q6Y2C5D8E7F9GA"]
    ),
]
