"""fcgiwrap: runs CGI programs for a gateway that speaks FastCGI."""
