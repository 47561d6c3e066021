"""The terminal program. It replays logs and draws them; it never imports torch, the training side or a project."""
