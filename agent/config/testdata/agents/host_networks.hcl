data_dir = "/opt/nomad"
client {
  enabled = true
  host_network "public" {
    cidr           = "203.0.113.0/24"
    reserved_ports = "22,80"
  }
  host_network "private" { interface = "eth1" }
  host_volume "mysql" {
    path      = "/opt/mysql/data"
    read_only = false
  }
}
