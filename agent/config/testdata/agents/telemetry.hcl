data_dir = "/opt/nomad"
server { enabled = true }
client { enabled = true }
telemetry {
  collection_interval        = "1s"
  disable_hostname           = true
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}
