"""What the commands do: open a workspace, run a service, print what was found."""
