"""The API for programs, /v1: ask what pictures show, submit them, search, decide, count.

Errors are problem+json. Every list is bounded; go on with the member that says where.
"""

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from returnsd.web import api_items, api_pictures, api_results, api_review

router = APIRouter(prefix="/v1", dependencies=[Depends(HTTPBearer(auto_error=False, description="web.token_file"))])

for part in (api_pictures, api_items, api_review, api_results):
    router.include_router(part.router)
