"""What the detector of NSL-KDD sees, and the search for a better one."""
