data_dir = "/opt/nomad"
ports = {
  http = 5646
}
server = {
  enabled = true
  server_join = { retry_join = ["10.0.0.1"] }
}
client = {
  enabled = true
  meta = { rack = "r1" }
  host_volume = {
    data = { path = "/srv/data" }
    logs = { path = "/srv/logs", read_only = true }
  }
}
plugin = {
  raw_exec = { config = { enabled = true } }
}
http_api_response_headers {
  "Access-Control-Allow-Origin" = "*"
}
