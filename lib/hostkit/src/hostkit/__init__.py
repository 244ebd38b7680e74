"""What charms do to the machine that they run on: files, systemd units, other units' agents."""
