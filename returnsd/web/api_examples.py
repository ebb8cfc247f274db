"""Examples of the calls that programs make most, as `/docs` shows them: a command and what it answers."""

HOST = "http://127.0.0.1:5001"

_ID = "01M84XJ0W3T1Q6Y2C5D8E7F9GA"

EXAMPLES: dict[tuple[str, str], str] = {
    ("POST", "/predict"): f"""\
curl {HOST}/predict -d "{{\\"image\\": \\"$(base64 -w0 photo.jpg)\\"}}"
{{"predictions": [{{"category": "Footwear", "confidence": 0.71}}], "confidence_threshold": 0.3,
 "timestamp": "2026-11-24T08:00:00+00:00", "all_predictions": [...]}}""",
    ("POST", "/predict/batch"): f"""\
curl {HOST}/predict/batch -d "{{\\"images\\": [\\"$(base64 -w0 one.jpg)\\", \\"$(base64 -w0 two.jpg)\\"]}}"
{{"predictions": [{{"filtered_predictions": [...], "all_predictions": [...]}}, ...], "batch_size": 2, ...}}""",
    ("POST", "/v1/predict"): f"""\
curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg {HOST}/v1/predict
curl -F file=@one.jpg -F file=@two.jpg {HOST}/v1/predict
{{"model": "retail21-...", "threshold": 0.93, "predictions": [{{"name": "one.jpg", "category": "Footwear",
 "confidence": 0.71, "shelf": "review", "reason": "below_threshold", "shortlist": [...], ...}}, ...]}}""",
    ("POST", "/v1/items"): f"""\
curl -H 'Content-Type: image/jpeg' -H 'Idempotency-Key: order-4711' --data-binary @photo.jpg \\
     '{HOST}/v1/items?name=RMA-4711.jpg'
{{"items": [{{"item_id": "{_ID}", "file_name": "RMA-4711.jpg", "again": false, ...}}]}}""",
    ("GET", "/v1/items"): f"""\
curl '{HOST}/v1/items?text=RMA-47&shelf=archive&day=2026-11-24&limit=100'
{{"items": [{{"item_id": "{_ID}", "category": "Footwear", ...}}, ...], "next_before": 1234}}""",
    ("GET", "/v1/items/{item_id}"): f"""\
curl {HOST}/v1/items/{_ID}
{{"item_id": "{_ID}", "state": "decided", "item": {{"category": "Footwear", ...}}, "decisions": [...], ...}}""",
    ("GET", "/v1/review"): f"""\
curl '{HOST}/v1/review?order=oldest&limit=50'
{{"version": 17, "count": 123, "sections": [{{"key": "oldest", "items": [{{"item_id": ...}}, ...], ...}}]}}""",
    ("POST", "/v1/decisions"): f"""\
curl -H 'Content-Type: application/json' {HOST}/v1/decisions \\
     -d '{{"item_ids": ["{_ID}"], "category": "Footwear", "by": "Anna"}}'
{{"decided": [{{"item_id": "{_ID}", "category": "Footwear", "shelf": "archive", ...}}], "refused": [],
 "pending": []}}""",
    ("POST", "/v1/decisions/withdrawals"): f"""\
curl -H 'Content-Type: application/json' {HOST}/v1/decisions/withdrawals \\
     -d '{{"item_ids": ["{_ID}"], "by": "Anna"}}'
{{"decided": [{{"item_id": "{_ID}", "reason": "withdrawn", "shelf": "review", ...}}], ...}}""",
    ("GET", "/v1/results/{day}"): f"""\
curl '{HOST}/v1/results/2026-11-24?format=csv' -O -J
curl '{HOST}/v1/results/2026-11-24?kind=decisions'
{{"day": "2026-11-24", "rows": [{{"item_id": "{_ID}", "decided_by": "Anna", "confidence": 0.71, ...}}, ...],
 "next_after": null}}""",
    ("GET", "/v1/statistics"): f"""\
curl '{HOST}/v1/statistics?days=7'
{{"since": "2026-11-18", "total": {{"received": 300, "archived_by_itself": 40, "archived_by_people": 210,
 "rejected_by_itself": 5, "rejected_by_people": 20, "waiting": 25, "unjudged": 0, ...}}, ...}}""",
}
