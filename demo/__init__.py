"""The demo: a Gradio app that is a Hugging Face Space as it stands, and the command `d2e2s demo`."""
