# Beside `nomad agent -dev`, which keeps its state in memory and listens on loopback.
bind_addr = "127.0.0.1"
data_dir  = "/data/nomad"
log_json  = true
log_level = "INFO"

disable_update_check = true

client {
  network_interface = "lo"
  # By default a directory beside data_dir, where only root may make one.
  alloc_mounts_dir = "/data/nomad/alloc_mounts"
  options = {
    # They ask addresses that do not answer here.
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce"
  }
}

consul {
  auto_advertise   = false
  client_auto_join = false
  server_auto_join = false
}
