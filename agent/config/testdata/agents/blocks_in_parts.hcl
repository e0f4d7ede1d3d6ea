data_dir = "/opt/nomad"
client {
  enabled   = true
  node_pool = "a"
  meta { rack = "r1" zone = "z1" }
}
client {
  node_pool = "b"
  meta { zone = "z2" }
  meta { row = 7 }
}
server { enabled = true }
server { bootstrap_expect = 1 }
