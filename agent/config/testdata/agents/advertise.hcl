data_dir  = "/opt/nomad"
bind_addr = "0.0.0.0"
addresses {
  http = "127.0.0.1"
}
advertise {
  http = "10.0.0.1"
  rpc  = "10.0.0.1:4647"
  serf = "10.0.0.1:4648"
}
server { enabled = true }
autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  max_trailing_logs         = 250
  server_stabilization_time = "10s"
}
