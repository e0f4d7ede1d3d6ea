"data_dir" = "/opt/nomad"
"ports" {
  "http" = 5646
}
"client" {
  "enabled" = true
  "host_volume" "certs" {
    "path"      = "/etc/ssl/certs"
    "read_only" = true
  }
  "chroot_env" {
    "/bin/ls"           = "/bin/ls"
    "/etc/passwd"       = "/etc/passwd"
  }
}
