output "principals" {
  description = "What the applications with units are called"
  value       = [juju_application.apache2.name, juju_application.ubuntu.name]
}

output "subordinates" {
  description = "What the applications beside them are called"
  value = [
    module.fan.app_name,
    module.golden_ratio.app_name,
    module.mprime.app_name,
    module.spare.app_name,
  ]
}
