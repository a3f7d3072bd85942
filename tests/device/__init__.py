"""An independent device and the server it talks to; nothing here imports the package."""
