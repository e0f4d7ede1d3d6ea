data_dir = "/opt/nomad"
ports { http = 5646 rpc = 5647 serf = 5648 }
server { enabled = true, bootstrap_expect = 1 }
client { enabled = true options { "driver.allowlist" = "exec,raw_exec" } meta { "a.b" = "c" } }
plugin "raw_exec" { config { enabled = true } }
