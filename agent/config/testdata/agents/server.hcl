# One of three servers.
region     = "eu"
datacenter = "fra1"
name       = "server-1"
data_dir   = "/opt/nomad/data"
bind_addr  = "10.0.0.11"
log_level  = "INFO"

server {
  enabled          = true
  bootstrap_expect = 3
  encrypt          = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

  server_join {
    retry_join     = ["10.0.0.12", "10.0.0.13:4648"]
    retry_max      = 3
    retry_interval = "15s"
  }
}
