-- Send each image that arrives to the receiver, by DIMSE or DICOMweb; the receiver's own results stay here.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RemoteAet"] ~= "METSEG" then
    SendToModality(instanceId, "receiver")
  end
end
