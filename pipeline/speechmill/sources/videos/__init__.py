"""Videos and playlists, by the metadata that yt-dlp extracts."""
