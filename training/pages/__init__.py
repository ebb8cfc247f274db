"""What each step's report holds, one module a step; how a report is written is in `training.report`."""
