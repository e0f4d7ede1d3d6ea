data_dir   = "/opt/nomad/data"
plugin_dir = "/opt/nomad/plugins"
client { enabled = true }

plugin "docker" {
  config {
    endpoint = "unix:///var/run/docker.sock"
    auth {
      config = "/etc/docker-auth.json"
      helper = "ecr-login"
    }
    extra_labels = ["job_name", "job_id", "task_group_name"]
    gc {
      image       = true
      image_delay = "3m"
      container   = true
      dangling_containers {
        enabled = true
        dry_run = false
      }
    }
    volumes {
      enabled      = true
      selinuxlabel = "z"
    }
    allow_privileged = false
    allow_caps       = ["chown", "net_raw"]
  }
}

plugin "raw_exec" {
  args = ["-v"]
  config = {
    enabled = true
  }
}
