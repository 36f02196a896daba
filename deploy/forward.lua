-- Send each image that arrives from outside to the receiver; the receiver's own results stay here.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RequestOrigin"] == "DicomProtocol" and origin["RemoteAet"] ~= "METSEG" then
    SendToModality(instanceId, "receiver")
  end
end
