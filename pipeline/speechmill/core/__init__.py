"""What every part needs: config, data types, the store of artifacts, names, addresses, processes."""
