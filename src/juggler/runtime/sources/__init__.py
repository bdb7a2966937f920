"""From what a user names to networks and inputs: files, factories, folders of pictures."""
