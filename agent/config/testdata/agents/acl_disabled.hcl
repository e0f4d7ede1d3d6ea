data_dir = "/opt/nomad"
server { enabled = true }
acl {
  enabled = false
}
vault { enabled = false address = "https://vault.service.consul:8200" }
consul {}
audit { enabled = "false" }
