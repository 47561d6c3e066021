"""Endpoints: what answers requests with exported models. Never imports torch, training or a project."""
