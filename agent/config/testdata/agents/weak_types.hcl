data_dir = "/opt/nomad"
enable_debug = 1
leave_on_terminate = "true"
ports { http = "5646" }
server {
  enabled = "true"
  bootstrap_expect = "1"
  num_schedulers = "2"
}
client {
  enabled = 0
  gc_disk_usage_threshold = "90"
}
limits { http_max_conns_per_client = "0" }
telemetry { publish_node_metrics = "1" collection_interval = "10s" }
