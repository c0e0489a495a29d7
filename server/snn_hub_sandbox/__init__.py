"""A small Hugging Face Hub on this machine: `snn-voice hub-sandbox`, or `app.create_app(folder)`.

It speaks to the unmodified `huggingface_hub` client: model repositories with commits, branches, tags and pull
requests; tokens; private and gated repositories; uploads and resumed downloads. What it does not have is Xet
storage, so the client needs `HF_HUB_DISABLE_XET=1`. `faults` makes it misbehave on demand.

Nothing is imported here, so that the command line can offer `hub-sandbox` where FastAPI is not installed.
"""
