"""Who: nodes, signposts between them, and the registrar that decides which two are one."""
