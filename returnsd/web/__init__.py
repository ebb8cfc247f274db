"""The page and the API: a process of its own over the same core, in which people settle the doubtful ones.

It takes out of review and writes decisions; nothing else. Pictures are seen by decoder processes of its own, so
the process that talks to the network never decodes. The worker does not need it.
"""
