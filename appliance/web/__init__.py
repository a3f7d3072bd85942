"""HTTP: device endpoints, pages and API. A handler reads, parses, asks one service, responds."""
