variable "base" {
  description = "The base of all applications, as a principal and its subordinates must have one"
  type        = string
  default     = "ubuntu@22.04"
}

variable "channel" {
  description = "The channel on Charmhub that the subordinates come from"
  type        = string
  default     = "latest/stable"
}

variable "model_uuid" {
  description = "The UUID of the model to deploy into"
  type        = string
}
