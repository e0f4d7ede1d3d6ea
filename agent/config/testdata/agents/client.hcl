data_dir = "/opt/nomad/data"
client {
  enabled           = true
  servers           = ["10.0.0.11:4647", "10.0.0.12"]
  node_class        = "large"
  node_pool         = "batch"
  network_interface = "eth0"
  max_kill_timeout  = "2m"
  gc_max_allocs     = 100

  reserved {
    cpu            = 500
    memory         = 512
    disk           = 1024
    reserved_ports = "22,80,8500-8600"
  }

  meta {
    rack         = "r1"
    "team.owner" = "platform"
    ssd          = true
    slots        = 4
  }

  options = {
    "driver.raw_exec.enable" = "1"
  }
}
