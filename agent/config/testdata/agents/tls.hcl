data_dir = "/opt/nomad"
server {
  enabled          = true
  bootstrap_expect = 1
}
tls {
  http = true
  rpc  = true

  ca_file   = "/etc/nomad.d/ca.pem"
  cert_file = "/etc/nomad.d/server.pem"
  key_file  = "/etc/nomad.d/server-key.pem"

  verify_server_hostname = true
  verify_https_client    = true
}
