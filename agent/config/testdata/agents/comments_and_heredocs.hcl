// A comment
/* another
   one */
data_dir = "/opt/nomad" # and one at the end
client {
  enabled = true
  meta {
    motd = <<TEXT
two
lines
TEXT
    template = "{{ env \"X\" }} ${attr.kernel.name}"
  }
}
