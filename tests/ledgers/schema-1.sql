-- The ledger of returnsd 0.1.0 (schema 1), with some of everything. Never change it: it was released.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE decision (
    seq INTEGER PRIMARY KEY,       -- the newest of an item counts
    item_id TEXT NOT NULL REFERENCES verdict (item_id),
    day TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    shelf TEXT NOT NULL,
    category TEXT,
    reason TEXT                    -- why it was rejected; or `withdrawn`: the decision before it is taken back
);
INSERT INTO "decision" VALUES(1,'01KJMDEDEA0000000000000002','2026-03-01','2026-03-01T12:05:00.250000+02:00','anna','archive','stripes',NULL);
INSERT INTO "decision" VALUES(2,'01KJMDEEDJ0000000000000003','2026-03-01','2026-03-01T12:06:00.250000+02:00','bert','rejected',NULL,'not_a_product');
INSERT INTO "decision" VALUES(3,'01KJMDEEDJ0000000000000003','2026-03-01','2026-03-01T12:07:00.250000+02:00','bert','review',NULL,'withdrawn');
CREATE TABLE item (
    item_id TEXT PRIMARY KEY,
    file_name BLOB NOT NULL,       -- bytes as in the inbox: names need not be UTF-8
    received_at TEXT NOT NULL,
    begun INTEGER NOT NULL         -- how many judgings of it were begun and not finished
) WITHOUT ROWID;
INSERT INTO "item" VALUES('01KJMDECF20000000000000001',X'312E6A7067','2026-03-01T12:00:01.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEDEA0000000000000002',X'322E6A7067','2026-03-01T12:00:02.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEEDJ0000000000000003',X'332E6A7067','2026-03-01T12:00:03.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEFCT0000000000000004',X'342E6A7067','2026-03-01T12:00:04.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEGC20000000000000005',X'352E6A7067','2026-03-01T12:00:05.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEHBA0000000000000006',X'362E6A7067','2026-03-01T12:00:06.250000+02:00',1);
INSERT INTO "item" VALUES('01KJMDEJAJ0000000000000007',X'636166E92E6A7067','2026-03-01T12:00:07.250000+02:00',1);
CREATE TABLE vector (              -- what was seen in the pictures in review, to show alike ones together
    item_id TEXT PRIMARY KEY REFERENCES verdict (item_id),
    features BLOB NOT NULL         -- float16, little-endian
) WITHOUT ROWID;
INSERT INTO "vector" VALUES('01KJMDEDEA0000000000000002',X'003C003C003C003C');
CREATE TABLE verdict (
    seq INTEGER PRIMARY KEY,       -- the order of the rows in the results
    item_id TEXT NOT NULL UNIQUE REFERENCES item,
    day TEXT NOT NULL,
    judged_at TEXT NOT NULL,
    return_id TEXT,
    category TEXT,
    confidence REAL,
    shelf TEXT NOT NULL,
    reason TEXT NOT NULL,
    runner_up TEXT,
    runner_up_confidence REAL,
    shortlist TEXT NOT NULL,       -- JSON list, best first
    duplicate_of TEXT,
    model TEXT NOT NULL,
    sha256 TEXT,
    expired_at TEXT                -- when its file was deleted under keep.*_days
);
INSERT INTO "verdict" VALUES(1,'01KJMDECF20000000000000001','2026-03-01','2026-03-01T12:00:02.250000+02:00','RMA-1','dots',0.97,'archive','confident','noise',0.25,'["dots", "noise"]',NULL,'tiny-1.0+00000000','0000000000000000000000000000000000000000000000000000000000000001',NULL);
INSERT INTO "verdict" VALUES(2,'01KJMDEDEA0000000000000002','2026-03-01','2026-03-01T12:00:03.250000+02:00','RMA-2','dots',0.625,'review','below_threshold','noise',0.25,'["dots", "noise"]',NULL,'tiny-1.0+00000000','0000000000000000000000000000000000000000000000000000000000000002',NULL);
INSERT INTO "verdict" VALUES(3,'01KJMDEEDJ0000000000000003','2026-03-01','2026-03-01T12:00:04.250000+02:00','RMA-3','dots',0.625,'review','below_threshold','noise',0.25,'["dots", "noise"]',NULL,'tiny-1.0+00000000','0000000000000000000000000000000000000000000000000000000000000003',NULL);
INSERT INTO "verdict" VALUES(4,'01KJMDEFCT0000000000000004','2026-03-01','2026-03-01T12:00:05.250000+02:00','RMA-4',NULL,NULL,'rejected','damaged',NULL,NULL,'[]',NULL,'tiny-1.0+00000000','0000000000000000000000000000000000000000000000000000000000000004','2026-04-01T12:00:00.250000+02:00');
INSERT INTO "verdict" VALUES(5,'01KJMDEJAJ0000000000000007','2026-03-01','2026-03-01T12:00:08.250000+02:00','RMA-7','dots',0.625,'review','below_threshold','noise',0.25,'["dots", "noise"]','01KJMDECF20000000000000001','tiny-1.0+00000000','0000000000000000000000000000000000000000000000000000000000000007',NULL);
CREATE TABLE written (             -- how far each CSV file was known to be written, one batch ago
    file TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "written" VALUES('returns-2026-03-01.csv',0,0);
CREATE INDEX verdict_by_day ON verdict (day, seq);
CREATE INDEX verdict_kept ON verdict (shelf, day) WHERE expired_at IS NULL;
CREATE INDEX verdict_by_sha256 ON verdict (sha256);
CREATE INDEX decision_by_item ON decision (item_id, seq);
CREATE INDEX decision_by_day ON decision (day, seq);
COMMIT;
