data_dir = "/opt/nomad"
server {
  enabled          = !false
  bootstrap_expect = 1 + 2
}
